"""Study files: from TOML to a checked `Study`, or to one error that names every mistake.

study         the study as a value, and loading it
parse         a file's text, and what TOML says in it
tables        each table with its keys, types, ranges and defaults
check         mistakes that concern several keys at once
wording       words for the mistakes
toml_lines    the line of each key
builders      whether `module:callable` names something, without importing it
keras_names   the names that the installed Keras knows, without importing it
former_names  the name that the package had before version 0.2.0
"""
