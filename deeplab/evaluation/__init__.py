"""What an evaluation reports."""
