//! From RPMs to a signed repository, a solution, a root file system and disk images.

use crate::rpms::Rpm;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use lazuli_component::schema::{nearest, suggestion};
use lazuli_image::{Context, DiskImage, Format, Image, InstalledRpm, Root, Signing, ToSign};
use lazuli_repo::{Detail, Href, Options, Package};
use lazuli_rpm::PackageFile;
use lazuli_secureboot::{Certificate, KeySet, Role};
use lazuli_store::ActionKey;
use lazuli_tree::{Tree, TreePath};
use lazuli_vm::Firmware;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Where an image has the root metadata that its updates are trusted by.
const UPDATE_ROOT: &str = "usr/share/lazuli/update/root.json";
/// Where it has the oldest version that a host which ran it may ever run again.
const UPDATE_MINIMUM: &str = "usr/share/lazuli/update/minimum-version";
/// Change when a repository is laid out differently.
const REPO_VERSION: u32 = 1;

/// A repository in the store.
pub struct Repo {
    /// Its directory: packages and `repodata`.
    pub dir: PathBuf,
    /// The packages in it.
    pub rpms: Vec<Rpm>,
}

/// Everything that a disk image was made from.
pub struct Built {
    /// The repository.
    pub repo: Repo,
    /// The packages of the image.
    pub packages: Vec<InstalledRpm>,
    /// Its root file system.
    pub root: Root,
    /// Its files.
    pub disk: DiskImage,
    /// The oldest version that a machine which kept the image may ever run again.
    pub minimum_version: String,
}

impl Workspace {
    /// The signed repository of these packages.
    pub fn repository(&self, rpms: Vec<Rpm>) -> Result<Repo> {
        let signer = self.signer()?;
        let revision = self.epoch();
        let mut key = ActionKey::new("repository", REPO_VERSION)
            .field("signer", signer.fingerprint())
            .field("revision", revision.to_string())
            .field("distro", format!("{} {}", self.source.distro.name, self.source.distro.version));
        for rpm in &rpms {
            key = key.input(&rpm.file, &rpm.digest);
        }
        let digest = key.finish();
        if let Some(dir) = self.store.dir("repo", &digest) {
            return Ok(Repo { dir, rpms });
        }
        let step = self.ui.spinner("write repository");
        let tmp = self.store.tempdir()?;
        let dir = tmp.path().join("repo");
        lazuli_fs::create_dir_all(dir.join("packages"))?;
        let packages: Vec<Package> = rpms
            .par_iter()
            .map(|rpm| {
                let bytes = self.store.read(&rpm.digest)?;
                lazuli_fs::hard_link(self.store.path(&rpm.digest), dir.join("packages").join(&rpm.file))?;
                Ok(Package::from_rpm(&bytes, Href::new(&format!("packages/{}", rpm.file))?)?)
            })
            .collect::<Result<_>>()?;
        let distro = &self.source.distro;
        let cpe = format!("cpe:/o:{0}:{0}:{1}", distro.id, distro.version);
        let options = Options {
            revision,
            content_tags: vec!["binary-x86_64".into()],
            distro_tags: vec![(Some(cpe), format!("{} {}", distro.name, distro.version))],
            ..Options::default()
        };
        lazuli_repo::write_repository(&dir, &packages, &options, &signer)?;
        let dir = self.store.publish_dir("repo", &digest, &dir)?;
        step.finish(&format!("{} packages, signed", rpms.len()));
        Ok(Repo { dir, rpms })
    }

    /// The time that images and metadata bear: that of the newest suite in the lock.
    pub fn epoch(&self) -> i64 {
        self.lock().suite.iter().map(|s| s.date).max().unwrap_or_default()
    }

    /// The description of an image.
    pub fn image_spec(&self, name: &str) -> Result<Image> {
        let dir = self.source.dir.join("images");
        let file = dir.join(format!("{name}.toml"));
        if !file.is_file() {
            let names = self.image_names()?;
            let near = nearest(name, names.iter().map(String::as_str));
            bail!("there is no image `{name}`{} (images: {})", suggestion(near), names.join(", "));
        }
        let mut image = Image::read(&file, &self.store)?;
        // An image without slots has no version to be overridden.
        if let (Some(version), true) = (&self.global.image_version, image.has_slots()) {
            image.set_version(version)?;
        }
        Ok(image)
    }

    /// The names of all images.
    pub fn image_names(&self) -> Result<Vec<String>> {
        Ok(lazuli_fs::read_dir(self.source.dir.join("images"))?
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "toml"))
            .filter_map(|p| Some(p.file_stem()?.to_string_lossy().into_owned()))
            .collect())
    }

    /// The packages that an image needs, from a repository whose signature and checksums are verified.
    pub fn solve(&self, repo: &Repo, image: &Image) -> Result<Vec<InstalledRpm>> {
        let keys = self.keys.key_ring()?;
        let repository = lazuli_repo::read_directory(&repo.dir, &keys, Detail::Primary)
            .context("reading back the repository that was just written")?;
        let request = lazuli_solve::Request {
            install: image.spec.packages.clone(),
            weak: image.spec.weak_dependencies,
            architecture: "x86_64".into(),
            ..lazuli_solve::Request::default()
        };
        let solution = match lazuli_solve::solve(&repository.packages, &request) {
            Ok(solution) => solution,
            // A requirement on a path that `primary` does not list needs the file lists.
            Err(_) if image_needs_files(&repository.packages) => {
                return self.solve_with(
                    &lazuli_repo::read_directory(&repo.dir, &keys, Detail::Files)?.packages,
                    &request,
                    image,
                );
            }
            Err(error) => return Err(impossible(image, &error)),
        };
        self.unpack(&solution)
    }

    fn solve_with(
        &self,
        packages: &[Package],
        request: &lazuli_solve::Request,
        image: &Image,
    ) -> Result<Vec<InstalledRpm>> {
        let solution = lazuli_solve::solve(packages, request).map_err(|e| impossible(image, &e))?;
        self.unpack(&solution)
    }

    fn unpack(&self, solution: &lazuli_solve::Solution<'_>) -> Result<Vec<InstalledRpm>> {
        let keys = self.keys.key_ring()?;
        solution
            .packages
            .par_iter()
            .map(|package| Ok(InstalledRpm::read(&self.store, &package.checksum, &keys, false)?))
            .collect()
    }

    /// Builds an image in these formats, or in those that it names itself; one with slots is signed with the development
    /// keys.
    pub fn build_image(&self, name: &str, formats: &[Format]) -> Result<Built> {
        let keys = self.image_spec(name)?.has_slots().then(|| self.secure_boot_keys()).transpose()?;
        let signing = keys.as_ref().map(|keys| Signing::Key(keys.key(Role::Db)));
        self.build_image_signed(name, formats, signing.as_ref())
    }

    /// Builds an image in these formats, or in those that it names itself.
    pub fn build_image_signed(
        &self,
        name: &str,
        formats: &[Format],
        signing: Option<&Signing<'_>>,
    ) -> Result<Built> {
        let image = self.with_update_trust(self.image_spec(name)?)?;
        let formats = if formats.is_empty() { image.spec.disk.formats.clone() } else { formats.to_vec() };
        let (repo, packages, root, disk) = self.composed(&image, |context, root| {
            let disk = lazuli_image::build_disk(context, root, &image, &formats, signing)?;
            let cached = disk.files.iter().all(|f| f.cached);
            Ok((disk, cached))
        })?;
        let minimum_version = image.minimum_version().to_owned();
        Ok(Built { repo, packages, root, disk, minimum_version })
    }

    /// What has to be signed for an image, as far as it can be made; see [`lazuli_image::to_sign`].
    pub fn to_sign(&self, name: &str, root_hash: Option<&[u8]>, trusted: &[Certificate]) -> Result<ToSign> {
        let image = self.with_update_trust(self.image_spec(name)?)?;
        let (.., to_sign) = self.composed(&image, |context, root| {
            Ok((lazuli_image::to_sign(context, root, &image, root_hash, trusted)?, false))
        })?;
        Ok(to_sign)
    }

    /// Gives an image with slots what its update agent trusts: the root metadata of the update keys (made on first use)
    /// and the oldest version that may be run again.
    fn with_update_trust(&self, mut image: Image) -> Result<Image> {
        if !image.has_slots() {
            return Ok(image);
        }
        let anchor = crate::update_keys::anchor(&crate::update_keys::directory(&self.keys))?;
        let minimum = format!("{}\n", image.minimum_version());
        for (path, content) in [(UPDATE_ROOT, anchor.as_slice()), (UPDATE_MINIMUM, minimum.as_bytes())] {
            image.files.put_file(&self.store, TreePath::new(path)?, content)?;
        }
        Ok(image)
    }

    /// The development keys for Secure Boot.
    pub fn secure_boot_keys(&self) -> Result<KeySet> {
        let owner = format!("{} development", self.source.distro.name);
        Ok(KeySet::open_or_generate(&self.keys.dir().join("secureboot"), &owner)?)
    }

    /// The firmware that an image boots with: what is signed boots under Secure Boot, with the development keys enrolled.
    pub fn firmware(&self, built: &Built, tools: &Path) -> Result<Firmware> {
        if built.disk.release.is_none() {
            return Ok(Firmware::Plain);
        }
        let template = lazuli_vm::firmware_variables(tools)?;
        let variables = lazuli_secureboot::varstore::enrol(&template, &self.secure_boot_keys()?)?;
        Ok(Firmware::SecureBoot { variables })
    }

    /// Composes the root of an image and goes on with it; `then` says whether all that it made was there already.
    fn composed<T>(
        &self,
        image: &Image,
        then: impl FnOnce(&Context<'_>, &Root) -> Result<(T, bool)>,
    ) -> Result<(Repo, Vec<InstalledRpm>, Root, T)> {
        let repo = self.repository(self.rpms_for(image)?)?;
        let packages = self.solve(&repo, image)?;
        let tools = self.tool_root("image")?;
        let step = self.ui.spinner(&format!("compose {}", image.name));
        let progress = |line: &str| step.note(line);
        let context = Context {
            store: &self.store,
            tool_root: &tools,
            source_date_epoch: self.epoch(),
            progress: &progress,
        };
        let root = lazuli_image::compose(&context, &packages, image)?;
        let (made, cached) = then(&context, &root)?;
        if cached && root.cached {
            step.clear();
        } else {
            step.finish(&format!("{} packages", packages.len()));
        }
        Ok((repo, packages, root, made))
    }

    /// The configuration that the kernel package was built with.
    pub fn kernel_config(&self) -> Result<Vec<u8>> {
        let rpms = self.rpms(&["kernel"])?;
        let rpm = rpms
            .iter()
            .find(|r| r.file.starts_with("kernel-") && !r.file.starts_with("kernel-modules"))
            .context("component `kernel` yields no package `kernel`")?;
        let bytes = self.store.read(&rpm.digest)?;
        let package = PackageFile::parse(&bytes)?;
        let tree: Tree = lazuli_rpm::payload_tree(&package.header, package.payload(), &self.store)?;
        let path = tree
            .iter()
            .map(|(path, _)| path)
            .find(|p| p.as_str().starts_with("usr/lib/modules/") && p.file_name() == "config")
            .context("the kernel package has no /usr/lib/modules/*/config")?;
        tree.read(&self.store, path)?.context("the configuration cannot be read")
    }
}

fn impossible(image: &Image, error: &lazuli_solve::Error) -> anyhow::Error {
    anyhow::anyhow!("image `{}`: {error}", image.name)
}

/// Whether some package requires a path that `primary` does not list.
fn image_needs_files(packages: &[Package]) -> bool {
    packages
        .iter()
        .flat_map(|p| &p.requires)
        .any(|d| d.name.starts_with('/') && !lazuli_repo::is_primary_path(&d.name))
}

/// Copies a finished file out of the store, keeping its holes. A file of that name is replaced, at once and
/// only when the copy is whole.
pub fn export(from: &Path, to: &Path) -> Result<()> {
    let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    lazuli_fs::create_dir_all(dir)?;
    let name = to.file_name().with_context(|| format!("{} is not the name of a file", to.display()))?;
    let work = tempfile::Builder::new().prefix(".lazuli-").tempdir_in(dir)?;
    let copy = work.path().join(name);
    lazuli_image::sparse::copy_file(from, &copy)?;
    lazuli_fs::set_mode(&copy, 0o644)?;
    lazuli_fs::rename(&copy, to)?;
    Ok(())
}
