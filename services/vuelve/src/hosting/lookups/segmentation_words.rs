//! What lookups of segmentation find, in the contract's words.

use domain::Timestamp;
use proto::segmentation::v1::{self as contract, Activity, Channel, UnreachableReason};
use schemas::SuppressionReason;
use segmentation::lookups::{CartView, Counters, CustomerView, ReachabilityView, RfmView};
use segmentation::{Did, KeptScore, Membership, Seen, Spending};

pub(super) fn customer(customer_id: String, view: CustomerView) -> contract::Customer {
    let [last_1d, last_7d, last_30d, last_90d, last_365d] = view.windows.map(|window| Some(counters(&window)));
    contract::Customer {
        customer_id,
        as_of: Some(time(view.as_of)),
        evaluated_at: Some(time(view.at)),
        known: view.known,
        consent_marketing: view.consent_marketing,
        has_email: view.has_email,
        has_phone: view.has_phone,
        traits_json: view.traits_json.unwrap_or_default(),
        seen: view.seen.iter().map(seen).collect(),
        age_days: view.age_days,
        inactive_days: view.inactive_days,
        recency_days: view.recency_days,
        frequency: view.frequency,
        currency: view.currency.unwrap_or_default(),
        monetary_minor: view.monetary_minor,
        average_order_minor: view.average_order_minor,
        coupon_percent: view.coupon_percent,
        spending: view.spending.into_iter().map(spending).collect(),
        last_1d,
        last_7d,
        last_30d,
        last_90d,
        last_365d,
        total: Some(counters(&view.total)),
        cart: view.cart.map(cart),
        favourite_categories: view.favourite_categories,
        favourite_brands: view.favourite_brands,
        lead_score: Some(contract::LeadScore {
            value: view.lead_score as i32,
            factors: view.lead_score_factors.into_iter().map(factor).collect(),
        }),
        segments: view.segments.iter().map(membership).collect(),
        anonymous_ids: view.anonymous_ids,
        rfm: view.rfm.map(rfm),
        reachability: view.reachability.into_iter().map(reachability).collect(),
        scores: view.scores.into_iter().map(score).collect(),
        tier: view.tier.unwrap_or_default(),
        lifecycle: view.lifecycle.unwrap_or_default(),
    }
}

pub(super) fn membership(membership: &Membership) -> contract::Membership {
    contract::Membership {
        segment: membership.segment.to_string(),
        version: membership.version,
        since: Some(time(membership.since)),
    }
}

pub(super) fn time(at: Timestamp) -> proto::WireTime {
    proto::timestamp(at.as_millis())
}

fn seen(seen: &Seen) -> contract::Seen {
    let activity = match seen.kind {
        Did::Any => Activity::Any,
        Did::PageViews => Activity::PageViews,
        Did::ProductViews => Activity::ProductViews,
        Did::CartAdditions => Activity::CartAdditions,
        Did::Checkouts => Activity::Checkouts,
        Did::Orders => Activity::Orders,
        Did::Refunds => Activity::Refunds,
        Did::EmailOpens => Activity::EmailOpens,
        Did::EmailClicks => Activity::EmailClicks,
        Did::Other => Activity::Unspecified,
    };
    contract::Seen { activity: activity.into(), first_at: Some(time(seen.first_at)), last_at: Some(time(seen.last_at)) }
}

fn spending(spending: Spending) -> contract::Spending {
    let monetary_minor = spending.monetary_minor();
    let Spending { currency, orders, coupon_orders, spent_minor, refunded_minor } = spending;
    contract::Spending { currency, orders, coupon_orders, spent_minor, refunded_minor, monetary_minor }
}

const fn counters(counters: &Counters) -> contract::Counters {
    contract::Counters {
        page_views: counters.page_views,
        product_views: counters.product_views,
        cart_additions: counters.cart_additions,
        checkouts: counters.checkouts,
        orders: counters.orders,
        spent_minor: counters.spent_minor,
        refunded_minor: counters.refunded_minor,
        email_opens: counters.email_opens,
        email_clicks: counters.email_clicks,
    }
}

fn cart(cart: CartView) -> contract::Cart {
    contract::Cart {
        cart_id: cart.cart_id.unwrap_or_default(),
        changed_at: Some(time(cart.changed_at)),
        idle_hours: cart.idle_hours,
        value_minor: cart.value_minor,
        items: cart.items,
    }
}

fn rfm(rfm: RfmView) -> contract::Rfm {
    contract::Rfm {
        recency: rfm.recency as i32,
        frequency: rfm.frequency as i32,
        monetary: rfm.monetary.map(|quintile| quintile as i32),
        learnt_at: Some(time(rfm.learnt_at)),
    }
}

fn reachability(view: ReachabilityView) -> contract::Reachability {
    let reason = match view.held.as_ref().map(|held| held.reason) {
        _ if view.reachable => UnreachableReason::Unspecified,
        None => UnreachableReason::NoAddress,
        Some(SuppressionReason::Unsubscribed) => UnreachableReason::Unsubscribed,
        Some(SuppressionReason::Bounced) => UnreachableReason::Bounced,
        Some(SuppressionReason::Complained) => UnreachableReason::Complained,
        Some(SuppressionReason::Manual) => UnreachableReason::Manual,
        Some(SuppressionReason::Other) => UnreachableReason::Other,
    };
    contract::Reachability {
        channel: if view.channel == "email" { Channel::Email } else { Channel::Unspecified }.into(),
        reachable: view.reachable,
        reason: reason.into(),
        since: view.held.map(|held| proto::timestamp(held.since)),
    }
}

fn score(kept: KeptScore) -> contract::Score {
    contract::Score {
        name: kept.name.to_string(),
        value: kept.value,
        label: kept.label,
        scored_at: Some(time(kept.scored_at)),
        version: kept.version.unwrap_or_default(),
    }
}

fn factor((name, points): (&'static str, i64)) -> contract::LeadScoreFactor {
    contract::LeadScoreFactor { name: name.to_owned(), points: points as i32 }
}
