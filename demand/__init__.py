"""What is demand data, and is it fit to use?"""
