"""One module a page; its PAGE is found by itself."""
