//! Names, time and proxies of a host: two forms over the same settings.

use edge_model::Error;
use edge_model::api::Possibility;
use edge_model::api::host::SiteSettings;
use serde_json::json;

use super::{Behaviour, Wish, follow};
use crate::action::{Answer, Request};
use crate::event::Key;
use crate::findings;
use crate::form::{Field, Form, Pressed};
use crate::known::Known;
use crate::strings::site as words;
use crate::time_zones;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteField {
    HostName,
    NameServers,
    TimeServers,
    TimeZone,
    HttpProxy,
    HttpsProxy,
    NoProxy,
    Save,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    pub form: Form<SiteField>,
    /// None until the agent has answered.
    pub settings: Option<SiteSettings>,
    pub trouble: Option<Error>,
}

impl Site {
    pub fn names() -> Self {
        use SiteField as Id;
        Self::of(vec![
            Field::text(Id::HostName, words::HOST_NAME, "").hint(words::HOST_NAME_HINT).fills(&["hostName"]),
            Field::text(Id::NameServers, words::NAME_SERVERS, "").hint(words::LIST_HINT).fills(&[
                "dns",
                "nameserver",
                "nameServers",
            ]),
            Field::text(Id::TimeServers, words::TIME_SERVERS, "")
                .hint(words::LIST_HINT)
                .fills(&["ntpServers"]),
            Field::text(Id::TimeZone, words::TIME_ZONE, "")
                .hint(words::TIME_ZONE_HINT)
                .fills(&["timeZone"])
                .among(time_zones::all()),
            Field::button(Id::Save, words::SAVE),
        ])
    }

    pub fn proxy() -> Self {
        use SiteField as Id;
        Self::of(vec![
            Field::text(Id::HttpProxy, words::HTTP_PROXY, "")
                .hint(words::PROXY_HINT)
                .fills(&["http", "httpProxy"]),
            Field::text(Id::HttpsProxy, words::HTTPS_PROXY, "")
                .hint(words::PROXY_HINT)
                .fills(&["https", "httpsProxy"]),
            Field::text(Id::NoProxy, words::NO_PROXY, "").hint(words::NO_PROXY_HINT).fills(&["noProxy"]),
            Field::button(Id::Save, words::SAVE),
        ])
    }

    fn of(fields: Vec<Field<SiteField>>) -> Self {
        Self { form: Form::new(fields), settings: None, trouble: None }
    }

    fn fill(&mut self, settings: SiteSettings) {
        use SiteField as Id;
        let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default().join(", ");
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let values = [
            (Id::HostName, text(&settings.host_name)),
            (Id::NameServers, list(&settings.name_servers)),
            (Id::TimeServers, list(&settings.ntp_servers)),
            (Id::TimeZone, text(&settings.time_zone)),
            (Id::HttpProxy, text(&settings.http_proxy)),
            (Id::HttpsProxy, text(&settings.https_proxy)),
            (Id::NoProxy, text(&settings.no_proxy)),
        ];
        for (id, value) in values {
            // What a person has begun to write is not taken away.
            if !self.form.is_touched(id) {
                self.form.set_text(id, value);
            }
        }
        self.settings = Some(settings);
    }

    /// Only what was changed: the rest is not told to the host a second time.
    fn changes(&self) -> SiteSettings {
        use SiteField as Id;
        let text = |id| self.form.is_touched(id).then(|| self.form.text(id).to_owned());
        let list = |id| self.form.is_touched(id).then(|| self.form.words(id));
        SiteSettings {
            host_name: text(Id::HostName),
            ntp_servers: list(Id::TimeServers),
            time_zone: text(Id::TimeZone),
            name_servers: list(Id::NameServers),
            http_proxy: text(Id::HttpProxy),
            https_proxy: text(Id::HttpsProxy),
            no_proxy: text(Id::NoProxy),
            ca_certs: None,
        }
    }

    fn save(&mut self) -> Vec<Wish> {
        self.form.forgive();
        self.trouble = None;
        if !self.form.any_touched() {
            self.trouble = Some(Error::invalid(words::NOTHING_CHANGED));
            return Vec::new();
        }
        let changes = self.changes();
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let document = json!({
            "hostName": given(&changes.host_name),
            "timeZone": given(&changes.time_zone),
            "ntpServers": changes.ntp_servers,
            "network": { "eth0": { "dns": changes.name_servers } },
            "proxy": {
                "http": given(&changes.http_proxy),
                "https": given(&changes.https_proxy),
                "noProxy": given(&changes.no_proxy),
            },
        });
        self.blame(findings::check(&findings::without_nothing(document)));
        if self.form.has_errors() || self.trouble.is_some() {
            return Vec::new();
        }
        vec![Wish::Ask(Request::ChangeSiteSettings(Box::new(changes)))]
    }

    fn blame(&mut self, findings: Vec<findings::Finding>) {
        for finding in findings {
            if !self.form.blame(finding.key(), &finding.message) {
                self.trouble = Some(Error::invalid(finding.message));
            }
        }
    }
}

impl Behaviour for Site {
    fn load(&self) -> Vec<Request> {
        vec![Request::SiteSettings]
    }

    fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        match self.form.key(key) {
            Pressed::Pushed(SiteField::Save) if known.can(Possibility::Configure) => self.save(),
            Pressed::Pushed(SiteField::Save) => {
                self.trouble = Some(Error::rejected(words::NOT_NOW));
                Vec::new()
            }
            Pressed::Pushed(_) | Pressed::Changed(_) | Pressed::Taken | Pressed::Ignored => Vec::new(),
        }
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        self.trouble = None;
        match answer {
            Answer::SiteSettings(settings) => {
                self.fill(settings);
                Vec::new()
            }
            other => {
                let mut wishes = follow(other);
                if !wishes.is_empty() {
                    wishes.insert(0, Wish::Close);
                }
                wishes
            }
        }
    }

    fn trouble(&mut self, error: Error) {
        let findings = findings::of_error(&error);
        self.trouble = None;
        if findings.is_empty() {
            self.trouble = Some(error);
        } else {
            self.blame(findings);
        }
    }

    fn help(&self) -> Option<String> {
        self.form.help()
    }

    fn takes_letters(&self) -> bool {
        self.form.takes_letters()
    }
}
