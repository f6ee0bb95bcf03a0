//! Outgoing connections: proxies from the settings and the environment, and redirects that our client does not follow.

use std::sync::{Arc, Mutex};

use simulator::{Settings, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{APP_SECRET, Setup, TestApp, any_port, path, run_with, text, until_eq};

/// A simulated WhatsApp that also serves as the proxy, because it answers for any host.
async fn proxy() -> Simulator {
    let settings = Settings { app_secret: APP_SECRET.parse().unwrap(), ..Settings::default() };
    Simulator::start(any_port().await, settings).await.unwrap()
}

/// The log line that says how WhatsApp is called.
fn way(app: &TestApp) -> String {
    let log = app.log();
    log.lines().find(|line| line.contains("how WhatsApp is called")).map(str::to_owned).unwrap_or(log)
}

#[tokio::test]
async fn calls_use_the_proxy_of_the_environment_or_the_settings_and_the_log_says_which() {
    let far = || Setup::new().set("whatsapp.base_url", "http://graph.example.invalid");
    let proxy = proxy().await;
    let address = proxy.base_url();
    let setups = [
        (far().env("HTTP_PROXY", &address), "HTTP_PROXY"),
        (far().env("ALL_PROXY", &address), "ALL_PROXY"),
        (far().set("whatsapp.proxy", address.as_str()).env("HTTP_PROXY", "http://127.0.0.1:1"), "whatsapp.proxy"),
        (far().set("whatsapp.proxy", "env:THE_PROXY").env("THE_PROXY", &address), "whatsapp.proxy"),
    ];
    for (n, (setup, named_by)) in (1..).zip(setups) {
        let app = setup.start().await;
        app.acme().accept(&text(n)).await;
        until_eq("messages through the proxy", n, || proxy.messages().len()).await;
        let line = way(&app);
        assert!(line.contains(&format!("through the proxy {address} ({named_by})")), "{line}");
    }
    let direct = far().env("HTTP_PROXY", &address).env("NO_PROXY", "example.invalid").start().await;
    assert!(way(&direct).contains("\"directly\""), "{}", way(&direct));
}

#[tokio::test]
async fn whatsapp_on_this_machine_is_called_without_the_proxy_of_the_environment() {
    let app = Setup::new().env("HTTP_PROXY", "http://127.0.0.1:1").env("ALL_PROXY", "http://127.0.0.1:1").start().await;
    app.one_more().await;
    assert!(way(&app).contains("\"directly\""), "{}", way(&app));
}

#[tokio::test]
async fn our_client_does_not_follow_redirects_with_a_key_and_secrets() {
    let temp = tempfile::tempdir().unwrap();
    let (here, there) = (any_port().await, any_port().await);
    let base = format!("http://{}", here.local_addr().unwrap());
    let target = format!("http://{}/api/v1/admin/orgs", there.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = here.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = format!(
                "HTTP/1.1 307 Elsewhere\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while there.accept().await.is_ok() {
            *counted.lock().unwrap() += 1;
        }
    });
    let file = temp.path().join("org.json");
    std::fs::write(&file, "{\"senders\": []}").unwrap();
    let args = ["org", "put", "acme", "--url", &base, "--file", path(&file)];
    let exit = run_with(temp.path(), &args, &[("TWOTICK_ADMIN_KEY", "a-key-of-the-operator")]).await;
    assert!(exit.code == Some(1) && exit.stderr.contains("none is followed"), "{exit:?}");
    assert_eq!(*asked.lock().unwrap(), 0);
}
