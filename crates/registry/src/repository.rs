//! One repository of a registry: its manifests and blobs, and the login that it wants.

use std::time::Duration;

use edge_model::ids::Digest;
use edge_model::registry::Trouble;
use edge_model::{Context, Error, Result};
use edge_slot_image::sha256;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, RANGE, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tokio::sync::Mutex;

use crate::body::Body;
use crate::challenge::Challenge;
use crate::http::{Options, Patience, client, unreachable};

/// Most bytes of a manifest.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// Most bytes of a token, or of an error's text.
const ANSWER_LIMIT: u64 = 64 << 10;
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// Tries of a request that gets no answer at all.
const SENDINGS: u32 = 3;

/// Who we are to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    Anonymous,
    /// Name and password.
    Basic(String, String),
    /// An identity token, which buys others.
    Identity(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Login::Anonymous => "Anonymous",
            Login::Basic(..) => "Basic",
            Login::Identity(_) => "Identity",
        })
    }
}

/// One repository of a registry.
#[derive(Debug)]
pub struct Repository {
    client: Client,
    /// `https://HOST/v2/REPOSITORY`
    base: String,
    repository: String,
    user_agent: String,
    login: Login,
    /// What the registry wants to see in the header, once it has said so.
    authorization: Mutex<Option<String>>,
    login_help: Option<&'static str>,
    patience: Patience,
}

impl Repository {
    /// # Errors
    /// As [`client`].
    pub fn open(options: &Options, host: &str, repository: &str, login: Login) -> Result<Self> {
        let scheme = if options.plain_http { "http" } else { "https" };
        Ok(Self {
            client: client(options)?,
            base: format!("{scheme}://{host}/v2/{repository}"),
            repository: repository.to_owned(),
            user_agent: options.user_agent.clone(),
            login,
            authorization: Mutex::new(None),
            login_help: options.login_help,
            patience: options.patience,
        })
    }

    fn trouble(&self, trouble: Trouble) -> Error {
        let help = self.login_help.filter(|_| trouble == Trouble::Login);
        let error = trouble.error();
        match help {
            Some(help) => error.help(help),
            None => error,
        }
    }

    fn refused(&self, status: StatusCode, text: &[u8]) -> Error {
        let text = String::from_utf8_lossy(text);
        let text: String = text.chars().filter(|character| !character.is_control()).take(300).collect();
        self.trouble(Trouble::of_status(status.as_u16(), &text))
    }

    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// A manifest by tag or digest, with its digest.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when the registry cannot be reached or does not behave,
    /// [`edge_model::Class::InvalidInput`] when it has no such manifest, [`edge_model::Class::Integrity`] when it gives another.
    pub async fn manifest(&self, name: &str, kinds: &[&str]) -> Result<(Digest, Vec<u8>)> {
        // A digest that cannot be checked here must not be believed from the registry's own word.
        let pinned: Option<Digest> = match name.parse() {
            Ok(digest) => Some(digest),
            Err(_) if name.contains(':') => {
                return Err(Error::invalid(format!("{name} is no SHA-256 digest"))
                    .help("name the image by its tag, or by sha256:…"));
            }
            Err(_) => None,
        };
        let kinds = kinds.join(", ");
        let response =
            self.get(&format!("{}/manifests/{name}", self.base), &[(ACCEPT, kinds.as_str())]).await?;
        let promised: Option<Digest> = response
            .headers()
            .get("docker-content-digest")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        let bytes = limited(response, MANIFEST_LIMIT).await?;
        let digest = sha256(&bytes);
        let wanted = pinned.or(promised);
        match wanted.filter(|wanted| *wanted != digest) {
            None => Ok((digest, bytes)),
            Some(wanted) => Err(Error::integrity(format!(
                "the manifest is not what was promised: {wanted} was promised, it is {digest}"
            ))),
        }
    }

    /// A blob of `size` bytes, from byte `offset` on.
    ///
    /// # Errors
    /// As [`Repository::manifest`].
    pub async fn blob(&self, digest: Digest, size: u64, offset: u64) -> Result<Body> {
        let range = format!("bytes={offset}-");
        let headers: &[(HeaderName, &str)] = if offset > 0 { &[(RANGE, range.as_str())] } else { &[] };
        let url = format!("{}/blobs/{digest}", self.base);
        let response = self.get(&url, headers).await?;
        // Some take no open range, and some have forgotten what they gave: the beginning is always there.
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Body::new(self.get(&url, &[]).await?, 0, size, self.patience);
        }
        Body::new(response, offset, size, self.patience)
    }

    /// A whole blob, with the size that the registry says.
    ///
    /// # Errors
    /// As [`Repository::manifest`].
    pub async fn blob_as_sent(&self, digest: Digest) -> Result<(u64, Body)> {
        let response = self.get(&format!("{}/blobs/{digest}", self.base), &[]).await?;
        let size = response
            .content_length()
            .ok_or_else(|| Error::environment(format!("the registry does not say how long {digest} is")))?;
        Ok((size, Body::new(response, 0, size, self.patience)?))
    }

    async fn get(&self, url: &str, headers: &[(HeaderName, &str)]) -> Result<Response> {
        // A token may have grown old since it was given.
        for renewed in [false, true] {
            let mut request = self.client.get(url);
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            let authorization = self.authorization.lock().await.clone();
            if let Some(authorization) = &authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = self.send(request).await?;
            let status = response.status();
            let no_such_range = status == StatusCode::RANGE_NOT_SATISFIABLE && !headers.is_empty();
            if status.is_success() || no_such_range {
                return Ok(response);
            }
            if status != StatusCode::UNAUTHORIZED || renewed {
                let text = limited(response, ANSWER_LIMIT).await.unwrap_or_default();
                return Err(self.refused(status, &text));
            }
            // A storage that the registry sends to has no business with its password.
            let is_the_registry =
                Url::parse(&self.base).is_ok_and(|base| base.host() == response.url().host());
            if !is_the_registry {
                return Err(Error::environment(format!(
                    "{} wants a login, and is not the registry that was asked",
                    response.url().host_str().unwrap_or_default()
                )));
            }
            let answer = self.authorize(response.headers()).await?;
            *self.authorization.lock().await = Some(answer);
        }
        Err(Error::environment("the registry wants a login, and does not take the one it gave"))
    }

    /// Sends a request without a body that is a stream; a connection that the other side closed meanwhile is no
    /// answer yet.
    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        for _ in 1..SENDINGS {
            let Some(copy) = request.try_clone() else { break };
            match copy.send().await {
                Ok(response) => return Ok(response),
                Err(error) if error.is_redirect() || error.is_builder() => return Err(unreachable(&error)),
                Err(_) => tokio::time::sleep(self.patience.pause).await,
            }
        }
        request.send().await.map_err(|error| unreachable(&error))
    }

    /// <https://distribution.github.io/distribution/spec/auth/token/>
    async fn authorize(&self, headers: &HeaderMap) -> Result<String> {
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenge = challenges
            .map(Challenge::parse)
            .max_by_key(|challenge| matches!(challenge, Some(Challenge::Bearer { .. })))
            .flatten();
        match challenge {
            Some(Challenge::Basic) => match &self.login {
                Login::Basic(user, password) => Ok(basic(user, password)),
                _ => Err(self.trouble(Trouble::Login)),
            },
            Some(Challenge::Bearer { realm, service }) => self.token(&realm, service.as_deref()).await,
            None => Err(Error::environment("the registry wants a login of a kind that is not known")),
        }
    }

    async fn token(&self, realm: &str, service: Option<&str>) -> Result<String> {
        #[derive(serde::Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        if self.base.starts_with("https:") && !realm.starts_with("https:") {
            return Err(Error::environment("the registry sends the login to an address without TLS"));
        }
        let scope = format!("repository:{}:pull", self.repository);
        let mut pairs = vec![("scope", scope.as_str())];
        pairs.extend(service.map(|service| ("service", service)));
        let mut url = Url::parse(realm)
            .map_err(|error| Error::environment(format!("the registry's login has no address: {error}")))?;
        let request = match &self.login {
            Login::Identity(identity) => {
                pairs.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", self.user_agent.as_str()),
                    ("refresh_token", identity),
                ]);
                let mut form = url.clone();
                form.query_pairs_mut().clear().extend_pairs(&pairs);
                let body = form.query().unwrap_or_default().to_owned();
                self.client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
            }
            login => {
                url.query_pairs_mut().extend_pairs(&pairs);
                let request = self.client.get(url);
                match login {
                    Login::Basic(user, password) => request.header(AUTHORIZATION, basic(user, password)),
                    _ => request,
                }
            }
        };
        let response = self.send(request).await?;
        let status = response.status();
        let body = limited(response, ANSWER_LIMIT).await?;
        if !status.is_success() {
            return Err(self.refused(status, &body));
        }
        let answer: Answer = serde_json::from_slice(&body).context("the registry's token cannot be read")?;
        let token = answer.token.or(answer.access_token);
        Ok(format!("Bearer {}", token.ok_or_else(|| Error::environment("the registry gave no token"))?))
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes()))
}

/// A whole answer, if it is short and comes soon.
async fn limited(response: Response, limit: u64) -> Result<Vec<u8>> {
    tokio::time::timeout(ANSWER_WITHIN, collect(response, limit))
        .await
        .map_err(|_| Error::environment("the registry's answer does not end"))?
}

async fn collect(mut response: Response, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(Error::environment(format!("the registry's answer is longer than {limit} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
