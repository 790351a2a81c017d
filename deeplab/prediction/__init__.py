"""Images in, predictions out: what evaluator and inferencer share, and the files they read and
write.
"""
