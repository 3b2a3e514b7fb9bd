"""Custom business features: six families of scikit-learn transformers, and the thin entry point over them."""
