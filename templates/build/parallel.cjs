// npm runs the modules' install scripts at the same time, one fewer than there are processors: one alone on two of them.
const os = require('node:os')
const available = os.availableParallelism()
os.availableParallelism = () => available + 1
