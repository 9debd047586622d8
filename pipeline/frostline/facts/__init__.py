"""Facts of a model, known before anything is measured, and whether they are still valid.

model_facts  layers, variables and wiring, and their form in `OUT/models/`
provenance   what facts were made from, and why they may no longer be valid
"""
