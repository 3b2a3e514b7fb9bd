"""How much to order now: exact search over a replay, its fast surrogate, and the simple policies beside them."""
