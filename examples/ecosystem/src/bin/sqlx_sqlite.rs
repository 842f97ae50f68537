//! A database pool of sqlx with sqlite, unmodified: wq is named in the attribute of `main` and
//! where it spawns.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Row, SqlitePool};

/// Moves money, or nothing at all.
async fn transfer(pool: &SqlitePool, from: i64, to: i64, amount: i64) -> sqlx::Result<bool> {
    // Taken for writing at once: sqlite has one writer at a time.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let changed =
        sqlx::query("UPDATE accounts SET money = money - ?2 WHERE id = ?1 AND money >= ?2")
            .bind(from)
            .bind(amount)
            .execute(&mut *transaction)
            .await?;
    if changed.rows_affected() == 0 {
        transaction.rollback().await?;
        return Ok(false);
    }
    sqlx::query("UPDATE accounts SET money = money + ?2 WHERE id = ?1")
        .bind(to)
        .bind(amount)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(true)
}

#[wq::main(tokio = true)]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let file = std::env::temp_dir().join(format!("wq-ecosystem-{}.sqlite", std::process::id()));
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(60));
    let pool = SqlitePoolOptions::new()
        .max_connections(4)
        .connect_with(options)
        .await?;
    sqlx::query("CREATE TABLE accounts (id INTEGER PRIMARY KEY, money INTEGER NOT NULL)")
        .execute(&pool)
        .await?;
    for id in 0..10i64 {
        let insert = sqlx::query("INSERT INTO accounts VALUES (?, 100)").bind(id);
        insert.execute(&pool).await?;
    }

    // Fifty tasks want one of four connections.
    let transfers: Vec<_> = (0..50)
        .map(|n: i64| {
            let pool = pool.clone();
            wq::spawn(async move { transfer(&pool, n % 10, (n * 7 + 1) % 10, 30).await })
        })
        .collect();
    for transfer in transfers {
        transfer.await??;
    }
    let sum = sqlx::query("SELECT sum(money), min(money) FROM accounts")
        .fetch_one(&pool)
        .await?;
    let (sum, least): (i64, i64) = (sum.try_get(0)?, sum.try_get(1)?);
    println!(
        "ten accounts have {sum}; none is below zero: {}",
        least >= 0
    );

    let refused = transfer(&pool, 0, 1, 1_000_000).await?;
    println!(
        "more than there is: {}",
        if refused { "moved" } else { "refused" }
    );
    pool.close().await;
    let closed = sqlx::query("SELECT 1")
        .execute(&pool)
        .await
        .expect_err("the pool is closed");
    println!("after the end: {closed}");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
    }
    Ok(())
}
