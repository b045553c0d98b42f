"""What a person reads. No number is made here."""
