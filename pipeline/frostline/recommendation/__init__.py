"""What to freeze to stay within a step-time budget, found exactly over the cost model.

choose           which models and settings are answered, and what their layers are worth
importance       what each layer is worth: a file, gradient norms, parameter counts
program          the cost model as linear constraints
memory_limit     a limit on memory, as rows of the program
solve            the best configuration within a budget, by integer programming
optimise         a cost model and a budget -> Recommendation
first_answer     what to freeze for half the step time, the first sentences about a sweep
recommend        a sweep and a budget -> Recommendations
recommendation   the values
verify           a recommendation -> one more measured trial
verify_batch     a recommendation within a memory -> its largest batch, run alone
keras_code       layers to freeze -> Python
terminal         Recommendation -> what Rich prints
document         Recommendations -> JSON
quiet            keeps standard output clean while the solver runs
"""
