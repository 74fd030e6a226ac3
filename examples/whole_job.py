"""The whole job as a library, on the demo world, with a short training and five targets."""

import proactrec as pr

dataset = pr.load_dataset("demo")
interest, _ = pr.fit_graphau(dataset)
short = {"stopping": {"n_epochs": 5}}  # leave it out to train until validation stops rising
encoder, _ = pr.fit_encoder("iclrec", dataset, interest.item_vectors, options=short)
users = encoder.intent_vectors(encoder.sequences(dataset.before("train")))
policy = pr.ITMPRec(encoder, pr.fit_intents(users, 32, seed=0))
targets = pr.select_targets(dataset, "Science Fiction", *interest).item_idx[:5]
world = pr.World(dataset, *interest, targets, seed=0)
log = pr.rollout(policy, world, dataset, targets).log
print(pr.evaluate(log, dataset)["metrics"]["ioi"]["20"])
