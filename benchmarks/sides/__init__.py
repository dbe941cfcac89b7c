"""What each side of a comparison does, by the same names: `about`, `decode`, `prefill`, `captured`, …"""
