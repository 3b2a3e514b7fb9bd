"""How is a forecast made, and kept?"""
