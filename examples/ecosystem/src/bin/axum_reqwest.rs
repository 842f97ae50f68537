//! A JSON service by axum's own `serve` and its client by reqwest, both unmodified: wq is named in
//! the attribute of `main` and where it spawns.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};

/// What the service keeps.
type Orders = std::sync::Arc<Mutex<Vec<Order>>>;

/// An order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    item: String,
    pieces: u32,
}

/// How a list is to be cut.
#[derive(Serialize, Deserialize)]
struct Range {
    at_least: u32,
}

/// Takes an order, and says which one it is.
async fn add(State(orders): State<Orders>, Json(order): Json<Order>) -> Json<usize> {
    let mut orders = orders.lock().await;
    orders.push(order);
    Json(orders.len())
}

/// Lists orders.
async fn list(State(orders): State<Orders>, Query(range): Query<Range>) -> Json<Vec<Order>> {
    let orders = orders.lock().await.clone();
    Json(
        orders
            .into_iter()
            .filter(|order| order.pieces >= range.at_least)
            .collect(),
    )
}

/// Answers late.
async fn nap(Path(ms): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    format!("napped for {ms} ms")
}

/// What goes wrong.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[wq::main(tokio = true)]
async fn main() -> Result<(), Failure> {
    let router = Router::new()
        .route("/orders", post(add).get(list))
        .route("/nap/{ms}", get(nap))
        .with_state(Orders::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let server = wq::spawn(server.into_future());

    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(60))
        .build()?;
    order(&client, &url).await?;
    let nap = client.get(format!("{url}/nap/5"));
    println!("{}", nap.send().await?.text().await?);
    let hurried = client
        .get(format!("{url}/nap/60000"))
        .timeout(Duration::from_millis(20));
    let error = hurried.send().await.expect_err("it naps for a minute");
    println!(
        "in a hurry: {}",
        if error.is_timeout() {
            "timed out"
        } else {
            "failed"
        }
    );

    drop(client);
    let _ = stop.send(());
    server.await??;
    println!("the server has ended");
    Ok(())
}

/// Orders a hundred things at a time, over as many connections as it takes, and lists the large
/// orders.
async fn order(client: &reqwest::Client, url: &str) -> Result<(), Failure> {
    let clients: Vec<_> = (1..=100)
        .map(|pieces| {
            let item = format!("item {pieces}");
            let request = client
                .post(format!("{url}/orders"))
                .json(&Order { item, pieces });
            wq::spawn(async move {
                request
                    .send()
                    .await?
                    .error_for_status()?
                    .json::<usize>()
                    .await
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for client in clients {
        numbers.push(client.await??);
    }
    numbers.sort_unstable();
    assert!(
        numbers.into_iter().eq(1..=100),
        "each order had a number of its own"
    );

    let range = Range { at_least: 99 };
    let large = client
        .get(format!("{url}/orders"))
        .query(&range)
        .send()
        .await?;
    let mut large = large.json::<Vec<Order>>().await?;
    large.sort_by_key(|order| order.pieces);
    println!(
        "100 orders taken; large ones: {}, {}",
        large[0].item, large[1].item
    );
    Ok(())
}
