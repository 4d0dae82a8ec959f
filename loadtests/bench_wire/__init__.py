"""What does a tensor's way over each wire cost, beside an echo of the same bytes?"""
