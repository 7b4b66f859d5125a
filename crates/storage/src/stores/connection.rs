//! Connections to stores: those of the client, but that large bodies pass a meter, piece by piece, where somebody waits for one.
//!
//! The client hands whole bodies to its own connections, which tell nobody how far they are.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService, ReqwestConnector,
};

use super::meter::Meter;

/// Bytes that pass at once. A smaller body is sent as the client sends it.
const PIECE_BYTES: usize = 64 << 10;

/// Longest time until a connection is there: that of the client.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where machines of a cloud find their credentials. Elsewhere, nobody answers.
pub(crate) const CREDENTIAL_SERVICES: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];

/// How often one of them is asked, with a second between.
const CREDENTIAL_ATTEMPTS: u32 = 3;

/// Makes connections.
#[derive(Debug)]
pub(crate) struct Connector {
    /// Longest time of a request, without the time for which a rate holds it back.
    pub(crate) timeout: Duration,
    /// Whether the store may be reached without encryption.
    pub(crate) allows_plain: bool,
}

/// Sends requests.
#[derive(Debug)]
struct Connection {
    client: HttpClient,
    /// Sends large bodies that pass a meter.
    metered: reqwest::Client,
    timeout: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        // As the client's own: over one connection of HTTP 2, parts would wait for each other.
        let metered = reqwest::Client::builder()
            .user_agent(concat!("manyframe/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .https_only(!self.allows_plain);
        let failed = |error: reqwest::Error| object_store::Error::Generic { store: "connection", source: error.into() };
        let metered = metered.build().map_err(failed)?;
        Ok(HttpClient::new(Connection { client, metered, timeout: self.timeout }))
    }
}

#[async_trait]
impl HttpService for Connection {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Small ones may also be those that ask for credentials, elsewhere.
        let is_large = request.body().content_length() > PIECE_BYTES;
        let host = request.uri().host();
        match Meter::of_task().filter(|_| is_large) {
            None if CREDENTIAL_SERVICES.iter().any(|service| host == Some(service)) => self.ask(request).await,
            None => self.client.execute(request).await,
            Some(meter) => self.send(request, meter).await,
        }
    }
}

impl Connection {
    /// Asks for credentials. Whoever has none anywhere is to know soon: the client would try for as long as with a store.
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        for _ in 1..CREDENTIAL_ATTEMPTS {
            match self.client.execute(request.clone()).await {
                Err(_absent) => tokio::time::sleep(Duration::from_secs(1)).await,
                answer => return answer,
            }
        }
        self.client.execute(request).await.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))
    }

    async fn send(&self, request: HttpRequest, meter: Arc<Meter>) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string().parse().map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut metered = reqwest::Request::new(head.method, url);
        *metered.headers_mut() = head.headers;
        *metered.timeout_mut() = Some(self.timeout + meter.begin(body.content_length() as u64));
        *metered.body_mut() = Some(reqwest::Body::wrap_stream(passing(pieces(body).await?, meter)));
        let answer = self.metered.execute(metered).await.map_err(failure)?;
        let (head, body) = hyper::Response::<reqwest::Body>::from(answer).into_parts();
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body.map_err(failure))))
    }
}

/// A body, cut into pieces without a copy.
async fn pieces(mut body: HttpRequestBody) -> Result<VecDeque<Bytes>, HttpError> {
    let mut pieces = VecDeque::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(mut bytes) = frame?.into_data() else { continue };
        while !bytes.is_empty() {
            pieces.push_back(bytes.split_to(bytes.len().min(PIECE_BYTES)));
        }
    }
    Ok(pieces)
}

fn passing(pieces: VecDeque<Bytes>, meter: Arc<Meter>) -> impl Stream<Item = Result<Bytes, HttpError>> {
    stream::unfold((pieces, meter), |(mut pieces, meter)| async move {
        let piece = pieces.pop_front()?;
        meter.pass(piece.len() as u64).await;
        Some((Ok(piece), (pieces, meter)))
    })
}

/// What the client decides by whether to send a request again. Those that are sent here replace what may be there, so that one
/// of which it is not known whether it arrived may be sent again.
fn failure(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_request() || error.is_body() {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Unknown
    };
    // The client names the address where it is no secret.
    HttpError::new(kind, error.without_url())
}
