"""What is known of a model before anything is measured, and whether it still holds.

model_facts  layers, variables and wiring, and their form in `OUT/models/`
provenance   what facts were made from, and why they may no longer hold
"""
