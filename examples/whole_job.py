"""The whole job as a library, on the demo world, with a short training and five targets."""

import proactrec as pr

dataset = pr.load_dataset("demo")
told = pr.PrintedProgress()  # a line now and then; without it nothing is printed
interest, _ = pr.fit_graphau(dataset, progress=told)
short = {"stopping": {"n_epochs": 5}}  # leave it out to train until validation stops rising
items = interest.item_vectors
encoder, _ = pr.fit_encoder("iclrec", dataset, items, options=short, progress=told)
users = encoder.intent_vectors(encoder.sequences(dataset.before("train")))
policy = pr.ITMPRec(encoder, pr.fit_intents(users, 32, seed=0))
targets = pr.select_targets(dataset, "Science Fiction", *interest).item_idx[:5]
world = pr.World(dataset, *interest, targets, seed=0)
log = pr.rollout(policy, world, dataset, targets, progress=told).log
print(pr.evaluate(log, dataset)["metrics"]["ioi"]["20"])
