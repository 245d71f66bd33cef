"""The steps of a night, where pure stages meet the store; `pipelines.flow` tells their order."""
