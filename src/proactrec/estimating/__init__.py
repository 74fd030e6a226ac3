"""What a size will cost, before it is paid: memory by part, time by stage, on a machine's rates."""
