"""The commands of ``symcalc``: parse, call, print. Heavy imports happen inside them."""
