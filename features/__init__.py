"""What may a model see at an origin?"""
