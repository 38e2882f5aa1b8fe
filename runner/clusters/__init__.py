"""Where scenarios run: the contract, and the clusters that keep it."""
