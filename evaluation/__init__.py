"""How good is a forecast?"""
