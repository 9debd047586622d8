"""What to freeze to stay within a step-time budget, found exactly over the cost model.

choose           which models and settings are answered, and what their layers are worth
importance       what each layer is worth: a file, gradient norms, parameter counts
program          the cost model as linear constraints
solve            the best configuration within a budget, by integer programming
optimise         a cost model and a budget -> Recommendation
recommend        a sweep and a budget -> Recommendations
recommendation   the values
verify           a recommendation -> one more measured trial
verify_batch     a recommendation within a memory -> its largest batch, run alone
keras_code       layers to freeze -> Python
terminal         Recommendation -> what Rich prints
document         Recommendations -> JSON
"""
