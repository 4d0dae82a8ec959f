"""What would another arm have said?"""
