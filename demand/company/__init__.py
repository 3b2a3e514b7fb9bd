"""The company's own tables beside its sales: yarns, stock, bills of materials, suppliers, orders, styles."""
