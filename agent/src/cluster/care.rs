//! The care for the cluster: from what is remembered and told to a node that is ready, and a look at it from then on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edge_host::console;
use edge_model::api::BootState;
use edge_model::api::cluster::{
    ClusterPhase, ClusterStatus, ClusterWait, KeptData, MOST_NAMED, PodCounts, PodState, PodStatus,
};
use edge_model::calendar::day_and_time;
use edge_model::cluster::{ClusterDefinition, ImageKubernetes, KubernetesVersions};
use edge_model::ids::RootHash;
use edge_model::{Error, Result, paths};
use edge_planner::cluster::gate::{self, Verdict};
use edge_planner::cluster::member::{Duty, Member, duty};
use edge_planner::cluster::{self as planner, Action, Placement, Probe, Step, StepId, check, state};
use serde_json::Value;
use tokio::runtime::Handle;

use super::ground::{self, Host};
use super::kept::{Kept, Places};
use super::kube_api::KubeApi;
use super::pass::{Ground, Progress, Seen, advance};
use super::removal;
use super::sight::LastSight;
use super::store::{self, Told};
use crate::content;
use crate::daemon::Shared;
use crate::daemon::care::{Caretaker, Then};
use crate::daemon::notices::Said;
use crate::facts;

/// Between looks while something is on its way.
const SHORTLY: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(5);
/// Between looks at a cluster that runs.
const SETTLED: Duration = Duration::from_secs(15);
/// What cannot be helped is looked at again all the same.
const RARELY: Duration = Duration::from_secs(60);
/// A wait is polled often at first; who has waited so long can wait a little more.
const IMPATIENT: Duration = Duration::from_secs(20);
/// A network that has not come by then is not waited for: a host without one has a cluster, too.
const NETWORK_PATIENCE: Duration = Duration::from_secs(60);

/// Looks after the cluster of the normal system.
pub(crate) fn caretaker(shared: &Arc<Shared>, runtime: &Handle) -> impl Caretaker {
    Care {
        shared: shared.clone(),
        runtime: runtime.clone(),
        api: None,
        plan: None,
        waits: None,
        told_ready: false,
        change: None,
        serves_content: false,
        begun: Instant::now(),
        sight: LastSight::default(),
        said: String::new(),
    }
}

/// What is remembered about a cluster, and what was told about one.
struct Known {
    member: Member,
    remembered: Option<ClusterDefinition>,
    told: Option<Told>,
}

impl Caretaker for Care {
    type Facts = Known;
    type Step = (Duty, Known);

    fn look(&mut self, shared: &Arc<Shared>) -> Known {
        let member = store::member().load();
        let told = store::configured(&shared.settings()).unwrap_or_else(|error| {
            // What runs goes on running; what is wrong is said.
            shared.notice(Said::failed("the cluster definition is not used", &error));
            None
        });
        // What a person has ordered since it was told is not undone by it.
        let told = told.filter(|told| member.told.as_deref() != Some(&told.digest()));
        Known { remembered: store::remembered(&member), member, told }
    }

    fn decide(&mut self, known: Known) -> (Duty, Known) {
        let told = known.told.as_ref().map(|told| &told.definition);
        (duty(&known.member, known.remembered.clone(), told), known)
    }

    fn act(&mut self, _: &Arc<Shared>, (duty, known): (Duty, Known)) -> Then {
        let pause = self.fulfil(duty, known).unwrap_or_else(|error| {
            let pause = self.stopped(error.message.clone());
            tracing::error!("cluster: {error}");
            pause
        });
        pause.map_or(Then::AwaitNews, Then::LookAgain)
    }

    fn wait(&self, shared: &Shared, longest: Option<Duration>) {
        shared.cluster.wait(longest);
    }
}

struct Care {
    shared: Arc<Shared>,
    runtime: Handle,
    api: Option<KubeApi>,
    plan: Option<Plan>,
    /// What is waited for, and since when.
    waits: Option<(Wait, Instant)>,
    /// The consoles know that it runs.
    told_ready: bool,
    /// What is being done to data, until it is done.
    change: Option<Verdict>,
    serves_content: bool,
    begun: Instant,
    sight: LastSight,
    /// The last failure that the log knows.
    said: String,
}

/// A plan and how far it is.
struct Plan {
    placement: Placement,
    verdict: Verdict,
    steps: Vec<Step>,
    at: usize,
}

impl Plan {
    /// Whether this image answers for the data.
    fn is_opened(&self) -> bool {
        self.steps.iter().position(|step| step.id == StepId::Opening).is_some_and(|opening| self.at > opening)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wait {
    what: String,
    since: u64,
    reason: Option<String>,
}

impl Care {
    /// Does what can be done now, and says how long nothing has to be looked at. `None`: until there is news.
    fn fulfil(&mut self, duty: Duty, known: Known) -> Result<Option<Duration>> {
        match duty {
            Duty::Nothing => {
                self.forget();
                self.show(None, Vec::new());
                Ok(None)
            }
            Duty::Stay(reason) => Ok(self.stopped(reason)),
            Duty::Remove => self.remove(&known.member, known.remembered.as_ref()),
            Duty::Run { definition, is_new } => self.run(known, &definition, is_new),
        }
    }

    fn forget(&mut self) {
        self.plan = None;
        self.api = None;
        self.waits = None;
        self.told_ready = false;
    }

    fn run(&mut self, known: Known, wanted: &ClusterDefinition, is_new: bool) -> Result<Option<Duration>> {
        let Known { mut member, remembered, told } = known;
        let image = store::image()?;
        let versions = image.as_ref().map(|image| &image.versions);
        let verdict = match versions {
            Some(versions) => self.verdict(&member, versions)?,
            None => Verdict::Open,
        };
        let definition = match self.belonging(&verdict, &member)? {
            Some(belonging) => belonging,
            None => {
                let told = told.as_ref().filter(|_| !is_new);
                self.chosen(remembered, wanted, told, versions, &verdict)?
            }
        };
        check::fits_versions(&definition, versions)?;
        let Some(image) = image else { return Ok(self.stopped("this image carries no Kubernetes".into())) };
        if is_new {
            let Some(told) = told else { return Err(Error::internal("a new cluster has no definition")) };
            if let Some(what) = self.too_early() {
                return Ok(Some(self.not_yet(&definition, what, &image)));
            }
            check::fits_site(&definition, &store::site_networks())?;
            member = store::member().change(|member| {
                store::begin(member, &told.text, Some(told.digest()));
                Ok(member.clone())
            })?;
            console::say(&format!("edge: the cluster {} is being made.", definition.name));
        }
        let node = node_name(&member, &definition)?;
        let placement = Placement::new(&definition, &image, &node, &ground::name_servers())?;
        self.serve_content();
        let then = self.go_on(placement, &verdict, &image);
        self.tell_of_change(verdict);
        then
    }

    fn verdict(&self, member: &Member, versions: &KubernetesVersions) -> Result<Verdict> {
        let root_hash = self.shared.host.record.root_hash;
        let held = Places::of_host().held(&root_hash);
        gate::verdict(member, versions, root_hash, held, self.boot_state())
    }

    /// Where firmware and loader do not tell, or somebody writes to the ESP just now, nothing is settled: what is exchanged can be
    /// exchanged back. An image that init has started in the place of another one was asked for by nobody, whatever was ordered once.
    fn boot_state(&self) -> BootState {
        let host = &self.shared.host;
        let seen = host.booted_now().ok().flatten().map(|booted| booted.state());
        match seen {
            Some(BootState::Committed) => BootState::Committed,
            _ if host.record.is_fallback => BootState::Fallback,
            other => other.unwrap_or(BootState::Trial),
        }
    }

    /// The definition that belongs to data which comes back.
    fn belonging(&self, verdict: &Verdict, member: &Member) -> Result<Option<ClusterDefinition>> {
        let root_hash = self.shared.host.record.root_hash;
        let in_force = match verdict {
            Verdict::Restore(_) => Places::of_host().kept(&root_hash)?.map(|kept| kept.in_force),
            Verdict::TakeBack => member.aside.clone().filter(|aside| aside.root_hash == root_hash),
            _ => None,
        };
        in_force.map(|in_force| check::parse("the recorded definition", &in_force.definition)).transpose()
    }

    /// The definition that counts: the wanted one if it may take the place of the present one, which is then written down. Not before
    /// data is kept: with that belongs what was in force.
    fn chosen(
        &self,
        remembered: Option<ClusterDefinition>,
        wanted: &ClusterDefinition,
        told: Option<&Told>,
        versions: Option<&KubernetesVersions>,
        verdict: &Verdict,
    ) -> Result<ClusterDefinition> {
        let Some(present) = remembered.filter(|present| told.is_some() && present != wanted) else {
            return Ok(wanted.clone());
        };
        let fits = check::may_change(&present, wanted).and_then(|()| check::fits_versions(wanted, versions));
        if let Err(error) = fits {
            self.shared.notice(Said::failed("the changed cluster definition is not used", &error));
            return Ok(present);
        }
        if let Some(told) = told.filter(|_| !matches!(verdict, Verdict::Keep(_))) {
            store::member().change(|member| {
                member.definition.clone_from(&told.text);
                member.told = Some(told.digest());
                Ok(())
            })?;
        }
        Ok(wanted.clone())
    }

    /// What has happened to data is for people, too.
    fn tell_of_change(&mut self, verdict: Verdict) {
        if matches!(verdict, Verdict::Keep(_) | Verdict::Restore(_) | Verdict::TakeBack) {
            self.change = Some(verdict);
        }
        let own = self.shared.host.record.root_hash;
        if !self.plan.as_ref().is_some_and(Plan::is_opened) {
            return;
        }
        let text = match self.change.take() {
            Some(Verdict::Keep(of)) => {
                console::say("edge: the cluster's data is kept for the version before.");
                tracing::info!("cluster: data of {} was kept before this image opened it", of.versions);
                return;
            }
            Some(Verdict::Restore(of)) => {
                let kept = Places::of_host().kept(&own).ok().flatten();
                let when = kept.map_or_else(|| "before".to_owned(), |kept| day_and_time(kept.made));
                format!(
                    "the cluster has its data of {when} again: what was made with {} since then is put aside",
                    of.versions
                )
            }
            Some(Verdict::TakeBack) => {
                "the cluster has its newer data again: the version that was returned to did not stay"
                    .to_owned()
            }
            _ => return,
        };
        console::say(&format!("edge: {text}"));
        self.shared.notice(Said::warning(text));
    }

    /// What a cluster waits for before it is made: nothing of it can be changed later.
    fn too_early(&self) -> Option<&'static str> {
        let on_trial = self.shared.host.booted().is_ok_and(|booted| booted.state() == BootState::Trial);
        if on_trial {
            // The image before could not open what this one makes.
            return Some("this version to prove itself");
        }
        // An address may be on its way, and with it a network that the cluster's must not overlap.
        (self.begun.elapsed() < NETWORK_PATIENCE && store::site_networks().is_empty())
            .then_some("the site's network")
    }

    fn not_yet(&mut self, definition: &ClusterDefinition, what: &str, image: &ImageKubernetes) -> Duration {
        self.wait_for(what, None);
        let status = ClusterStatus {
            versions: Some(image.versions.clone()),
            waits_for: self.waits.as_ref().map(|(wait, _)| wait_of(wait)),
            ..ClusterStatus::new(&definition.name, ClusterPhase::Making)
        };
        self.show(Some(status), Vec::new());
        SHORTLY
    }

    /// Goes on with the plan for a placement; a placement that has changed is a new plan.
    fn go_on(
        &mut self,
        placement: Placement,
        verdict: &Verdict,
        image: &ImageKubernetes,
    ) -> Result<Option<Duration>> {
        // What has to happen to the data may be another thing after a part of it was done.
        let is_the_same = self.plan.as_ref().is_some_and(|plan| {
            plan.placement == placement && (plan.is_opened() || plan.verdict == *verdict)
        });
        if !is_the_same {
            let steps = planner::steps(&placement, verdict)?;
            self.plan = Some(Plan { placement, verdict: verdict.clone(), steps, at: 0 });
        }
        let own = self.shared.host.record.root_hash;
        // A ledger that cannot be read names no image, and nothing is thrown away for that.
        let ledger = self.shared.host.ledger().read().unwrap_or_default();
        let slots: Vec<RootHash> =
            [&ledger.slot_a, &ledger.slot_b].into_iter().flatten().map(|image| image.root_hash).collect();
        let stays = slots.contains(&own) && self.boot_state() == BootState::Committed;
        let Some(plan) = &mut self.plan else { return Ok(Some(LATER)) };
        let mut host = Host {
            runtime: &self.runtime,
            root_hash: self.shared.host.record.root_hash,
            versions: image.versions.clone(),
            stays,
            slots,
            api: &mut self.api,
        };
        match advance(&mut host, &plan.steps, &mut plan.at) {
            Progress::Finished => {
                // As soon as the image is kept: what would be exchanged later is older by then.
                if stays && host.look(&Probe::Opened)? != Seen::Holds {
                    host.act(&Action::Settle)?;
                }
                Ok(Some(self.look_after(image)))
            }
            Progress::Waiting(step, why) => Ok(Some(self.waiting(step, why, image, SHORTLY))),
            Progress::Failed(step, error) => {
                let said = format!("{}: {error}", step.name());
                if self.said != said {
                    tracing::warn!("cluster: {said}");
                    self.said = said;
                }
                // Somebody may mend what is wrong meanwhile; programs that were cut are begun again from the start. Copies of data
                // are not made again and again.
                let pause = if step == StepId::Opening { RARELY } else { LATER };
                Ok(Some(self.waiting(step, Some(error.to_string()), image, pause)))
            }
        }
    }

    fn waiting(
        &mut self,
        step: StepId,
        reason: Option<String>,
        image: &ImageKubernetes,
        pause: Duration,
    ) -> Duration {
        let phase = match step {
            // The node is there, and so are its pods, as far as they go.
            StepId::Workloads => ClusterPhase::Degraded,
            _ if self.was_opened_before() => ClusterPhase::Starting,
            _ => ClusterPhase::Making,
        };
        let since = self.wait_for(step.waits_for(), reason);
        if since > IMPATIENT && matches!(step, StepId::Runtime | StepId::Kubelet | StepId::Api) {
            // The API's own silence says little.
            let seen = self.sight.reason();
            if let Some((wait, _)) = &mut self.waits {
                wait.reason = seen.or(wait.reason.take());
            }
        }
        self.show_phase(phase, Some(image.versions.clone()), self.shared.cluster.pods());
        if since > IMPATIENT { pause.max(LATER) } else { pause }
    }

    /// Whether its data is older than this boot.
    fn was_opened_before(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| {
            let keys = plan.steps.iter().find(|step| step.id == StepId::Keys);
            keys.is_some_and(|keys| matches!(keys.act[..], [Action::Refuse(_)]))
        })
    }

    /// Remembers what is waited for; says for how long already.
    fn wait_for(&mut self, what: &str, reason: Option<String>) -> Duration {
        let known = self.waits.take().filter(|(wait, _)| wait.what == what);
        let (since, begun) =
            known.map_or_else(|| (facts::now(), Instant::now()), |(wait, begun)| (wait.since, begun));
        self.waits = Some((Wait { what: what.to_owned(), since, reason }, begun));
        begun.elapsed()
    }

    /// Everything was done: what does the cluster say of itself?
    fn look_after(&mut self, image: &ImageKubernetes) -> Duration {
        let Some(node) = self.plan.as_ref().map(|plan| plan.placement.node.clone()) else { return LATER };
        let versions = Some(image.versions.clone());
        match self.ask(&node) {
            Ok((Ok(()), pods)) => {
                self.waits = None;
                let all_run = pods.iter().all(|pod| matches!(pod.state, PodState::Running | PodState::Done));
                self.show_phase(ClusterPhase::Running, versions, pods);
                self.tell_ready(image);
                if all_run { SETTLED } else { LATER }
            }
            Ok((Err(why), pods)) => {
                self.wait_for(StepId::Ready.waits_for(), Some(why));
                self.show_phase(ClusterPhase::Degraded, versions, pods);
                LATER
            }
            Err(error) => {
                // A connection of before may be what does not work.
                self.api = None;
                self.wait_for(StepId::Api.waits_for(), Some(error.to_string()));
                self.show_phase(ClusterPhase::Degraded, versions, Vec::new());
                // Looked at from the first step on: units that are gone are started again.
                self.plan = None;
                LATER
            }
        }
    }

    /// Whether the node is ready, and all pods.
    #[allow(clippy::type_complexity)] // two answers of one question, used once
    fn ask(&mut self, node: &str) -> Result<(std::result::Result<(), String>, Vec<PodStatus>)> {
        let api = match &mut self.api {
            Some(api) => api,
            None => self.api.insert(KubeApi::open(&self.runtime)?),
        };
        let node = api.get(&format!("/api/v1/nodes/{node}"))?;
        let ready = node.as_ref().map_or(Err("the node is gone".into()), state::node_is_ready);
        // From the API server's memory: the datastore is not asked.
        let pods = api.get("/api/v1/pods?resourceVersion=0")?;
        let items =
            pods.as_ref().and_then(|list| list["items"].as_array()).map(Vec::as_slice).unwrap_or_default();
        let mut pods: Vec<PodStatus> = items.iter().map(|pod: &Value| state::pod(pod)).collect();
        pods.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        Ok((ready, pods))
    }

    fn tell_ready(&mut self, image: &ImageKubernetes) {
        let Some(plan) = &self.plan else { return };
        if !self.told_ready {
            self.told_ready = true;
            tracing::info!("cluster: the node is ready");
            console::say(&format!(
                "{} name={} version={}",
                paths::CLUSTER_MARKER,
                plan.placement.cluster,
                image.versions.kubernetes
            ));
        }
    }

    /// Nothing is started: why.
    fn stopped(&mut self, reason: String) -> Option<Duration> {
        self.wait_for("somebody who changes that", Some(reason));
        let member = store::member().load();
        let told = store::configured(&self.shared.settings()).ok().flatten();
        let name = store::remembered(&member).or(told.map(|told| told.definition)).map(|known| known.name);
        let wait = self.waits.as_ref().map(|(wait, _)| wait_of(wait));
        let status = ClusterStatus {
            node: member.node,
            versions: store::image().ok().flatten().map(|image| image.versions),
            waits_for: wait,
            ..ClusterStatus::new(name.unwrap_or_default(), ClusterPhase::Stopped)
        };
        self.show(Some(status), Vec::new());
        Some(RARELY)
    }

    fn remove(
        &mut self,
        member: &Member,
        definition: Option<&ClusterDefinition>,
    ) -> Result<Option<Duration>> {
        self.forget();
        self.wait_for("its end", None);
        let name = definition.map(|definition| definition.name.clone()).unwrap_or_default();
        let status = ClusterStatus {
            node: member.node.clone(),
            waits_for: self.waits.as_ref().map(|(wait, _)| wait_of(wait)),
            ..ClusterStatus::new(name, ClusterPhase::Removing)
        };
        self.show(Some(status), Vec::new());
        removal::run()?;
        console::say("edge: the cluster was removed.");
        Ok(Some(Duration::ZERO))
    }

    fn show_phase(&self, phase: ClusterPhase, versions: Option<KubernetesVersions>, pods: Vec<PodStatus>) {
        let Some(plan) = &self.plan else { return };
        let running = |pod: &&PodStatus| pod.state == PodState::Running;
        let wanted = |pod: &&PodStatus| pod.state != PodState::Done;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let status = ClusterStatus {
            node: plan.placement.node.clone(),
            versions,
            waits_for: self.waits.as_ref().map(|(wait, _)| wait_of(wait)),
            pods: PodCounts {
                running: count(pods.iter().filter(running).count()),
                wanted: count(pods.iter().filter(wanted).count()),
            },
            troubled: pods
                .iter()
                .filter(|pod| !matches!(pod.state, PodState::Running | PodState::Done))
                .take(MOST_NAMED)
                .cloned()
                .collect(),
            ..ClusterStatus::new(&plan.placement.cluster, phase)
        };
        self.show(Some(status), pods);
    }

    fn show(&self, status: Option<ClusterStatus>, pods: Vec<PodStatus>) {
        let status = status.map(|status| ClusterStatus { kept: self.kept_for_a_return(), ..status });
        if self.shared.cluster.show(status, pods) {
            self.shared.refresh();
        }
    }

    /// What a rollback would bring back: data of the image in the other slot.
    fn kept_for_a_return(&self) -> Option<KeptData> {
        let host = &self.shared.host;
        let other = host.record.slot?.other();
        let image = host.ledger().load().slot(other)?.root_hash;
        Places::of_host().kept(&image).ok().flatten().map(Kept::for_people)
    }

    /// From now on the runtime finds the images of the image.
    fn serve_content(&mut self) {
        if !self.serves_content {
            self.serves_content = true;
            let (shared, site) = (self.shared.clone(), self.shared.clone());
            let upstream = content::Upstream::new(Box::new(move || {
                let settings = site.settings();
                settings.edge().content.asks_upstream().then(|| settings.edge().clone())
            }));
            let shelf = content::shelf_of_host();
            self.runtime.spawn(async move {
                if let Err(error) = content::serve(shelf, Arc::new(upstream)).await {
                    shared.notice(Said::failed("container images cannot be served", &error));
                }
            });
        }
    }
}

fn wait_of(wait: &Wait) -> ClusterWait {
    ClusterWait { what: wait.what.clone(), since: wait.since, reason: wait.reason.clone() }
}

/// The node's name for life: of the record, of the definition, or the host's name when the cluster is made.
fn node_name(member: &Member, definition: &ClusterDefinition) -> Result<String> {
    if !member.node.is_empty() {
        return Ok(member.node.clone());
    }
    let wanted = definition.hosts.first().and_then(|host| host.node_name.clone());
    let name = match wanted {
        Some(name) => name,
        None => facts::host_name()?.to_lowercase(),
    };
    edge_model::document::format::check("node-name", &name)
        .map_err(|why| Error::invalid(why).help("give the node a name: hosts: [{node-name: …}]"))?;
    store::member().change(|member| {
        member.node.clone_from(&name);
        Ok(())
    })?;
    Ok(name)
}
