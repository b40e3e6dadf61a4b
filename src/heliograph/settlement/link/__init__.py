"""The custodian-exchange link: what each half decides, as pure functions."""
