use tenure::engine::*;
#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let settings = Settings {
        tables: vec![("events".into(), args[1].clone())],
        threads: Some(2),
        local_files: true,
        ..Default::default()
    };
    let e = Engine::open(&settings).await.unwrap();
    for q in &args[2..] {
        let t = std::time::Instant::now();
        match e.run(q, &Default::default()).await {
            Ok(a) => {
                use futures::TryStreamExt;
                match a.stream.try_collect::<Vec<_>>().await {
                    Ok(b) => println!("{}", arrow::util::pretty::pretty_format_batches(&b).unwrap()),
                    Err(x) => println!("ERR {}", tenure::error::Error::from(x)),
                }
            }
            Err(x) => println!("ERR {x:?}"),
        }
        eprintln!("{:?}", t.elapsed());
    }
}
