"""What a training run is made of, around the trainer."""
