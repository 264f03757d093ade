"""What a submit may carry, however it comes: its fields, its checks, and the order it becomes."""
