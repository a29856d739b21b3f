"""The lane for language models: the same stage ports, other rooms behind them."""
