"""What a report of a fault should say about the machine it happened on."""
