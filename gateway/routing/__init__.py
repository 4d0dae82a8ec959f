"""Which arm answers, and which arms shadow it?"""
