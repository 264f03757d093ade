"""What every transport must do, whatever it is made of."""
