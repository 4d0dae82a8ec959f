"""Who may change what is served, and when?"""
