"""How fast this machine predicts these images with this model, by precision, batch size and threads; without Spark."""
