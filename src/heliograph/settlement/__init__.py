"""Settlement: a custodian and an exchange mirror credit, pledge, and settle; no coin moves before settlement."""
