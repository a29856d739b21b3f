"""Will this order be sent back? A small shop's customers and orders, January to June 2025."""

import ibis
from ibis import _

import onward as ow

# ---------------------------------------------------------------- data
#
# A source says what identifies a row, whom it is about, when its fact happened, and when it could
# be known. Rows that fail a check go to quarantine with the check's name; `onward quarantine` shows
# them. `onward erase --subject C1478` takes a customer out of everything.

customers = ow.Source(
    "customers",
    ow.files("data/customers/*.csv"),
    key=["customer_id"],
    subject="customer_id",
    event_time="joined_at",
    checks=[
        ow.check("country is known", _.country.notnull() & (_.country != "")),
        ow.check("known channel", _.channel.isin(["search", "newsletter", "friend", "advert"])),
    ],
)

# An order is recorded once it is settled: sent back, or past the thirty days in which it may be.
orders = ow.Source(
    "orders",
    ow.files("data/orders/*.csv"),
    key=["order_id"],
    subject="customer_id",
    event_time="ordered_at",
    available_at="settled_at",
    checks=[
        ow.check("price is positive", _.price > 0),
        ow.check("quantity is plausible", _.quantity.between(1, 20)),
        ow.check("discount is a share", _.discount.between(0, 1)),
        ow.batch_check("not everything comes back", _.returned.mean() < 0.6),
    ],
)


# A transform is a table derived from others: its parameters name what it reads.
@ow.transform(checks=[ow.check("joined before ordering", _.days_known >= 0)])
def purchases(orders, customers):
    """Each order with what was known of its customer."""
    known = customers.select("customer_id", "country", "channel", "joined_at")
    joined = orders.inner_join(known, "customer_id")
    days = (_.ordered_at.epoch_seconds() - _.joined_at.epoch_seconds()) / 86_400
    return joined.mutate(days_known=days).drop("joined_at")


# ---------------------------------------------------------------- features
#
# A view describes an entity over time: a training row sees the newest row that was known at its
# moment, and a prediction the newest there is.


@ow.feature_view(entity="customer_id")
def customer_history(orders):
    """How often, and how dearly, a customer has bought and sent back so far."""
    settled = orders.group_by("customer_id", available_at=_.settled_at).aggregate(
        orders=_.count(),
        returns=_.returned.cast("int64").sum(),
        spent=(_.price * _.quantity).sum(),
    )
    so_far = ibis.cumulative_window(group_by="customer_id", order_by="available_at")
    bought = _.orders.sum().over(so_far)
    return settled.select(
        "customer_id",
        "available_at",
        event_time=_.available_at,
        orders_settled=bought,
        # Two orders' worth of the shop's average, so that one return does not make a habit.
        return_rate=(_.returns.sum().over(so_far) + 0.6) / (bought + 2),
        mean_order=_.spent.sum().over(so_far) / bought,
    )


# On-demand features come from the request itself; the same code runs in training and serving.
@ow.on_demand
def basket(category, price, quantity, discount, ordered_at):
    return {
        "category": category,
        "price": price,
        "quantity": quantity,
        "discount": discount,
        "total": price * quantity * (1 - discount),
        "late_hour": (ordered_at.dt.hour >= 22) | (ordered_at.dt.hour < 5),
    }


@ow.on_demand
def customer(country, channel, days_known):
    return {"country": country, "channel": channel, "days_known": days_known}


# ---------------------------------------------------------------- model


@ow.label(key="order_id", event_time="ordered_at", available_at="settled_at")
def returned(purchases):
    return purchases.select(
        "order_id", "ordered_at", "settled_at", "customer_id",
        "category", "price", "quantity", "discount", "country", "channel", "days_known",
        returned=_.returned.cast("int8"),
    )  # fmt: skip


@ow.model(
    features=[customer_history, basket, customer],
    label=returned,
    task="binary",
    holdout=0.25,
    slices=["country", "category"],
    # `onward experiment` searches these ranges; `onward run` takes the defaults below.
    search={
        "max_leaf_nodes": ow.integer(4, 31, log=True),
        "learning_rate": ow.real(0.02, 0.2, log=True),
        "iterations": ow.categorical(50, 100, 200),
    },
)
def order_return(X, y, max_leaf_nodes=8, learning_rate=0.06, iterations=100):
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(
        make_column_transformer(
            (words, ["category", "country", "channel"]), remainder="passthrough"
        ),
        HistGradientBoostingClassifier(
            max_iter=iterations,
            max_leaf_nodes=max_leaf_nodes,
            learning_rate=learning_rate,
            random_state=0,
        ),
    ).fit(X, y)


# ---------------------------------------------------------------- delivery

pipeline = ow.Pipeline(
    model=order_return,
    # A new model is released only if every gate lets it through.
    gates=[
        ow.at_least("roc_auc", 0.65),
        ow.beats_champion("roc_auc"),
        ow.fair("country", "selection_rate_ratio", at_least=0.3),
        ow.robust(noise=0.05, max_drop=0.03),
        ow.latency(p99_ms=100),
    ],
    # It takes over step by step; a step that does harm puts the champion back.
    release=ow.Canary(steps=[10, 50], bake="10m", minimum=200, deadline="7d"),
    # The sample data end in June 2025; once yours keep coming, add ow.freshness("2d").
    monitors=[
        ow.operational(max_error_rate=0.01, p99_ms=100),
        ow.drift(limit=0.2),
        ow.performance("roc_auc", max_drop=0.05),
        ow.skew(),
    ],
    every="1d",
    on_breach=ow.retrain(cooldown="7d", persist=2),
)
