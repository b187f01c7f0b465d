//! From RPMs to a signed repository, a solution, a root file system and disk images.

use crate::rpms::Rpm;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use lazuli_component::schema::{nearest, suggestion};
use lazuli_image::{Context, DiskImage, Format, Image, InstalledRpm, Root};
use lazuli_repo::{Detail, Href, Options, Package};
use lazuli_rpm::PackageFile;
use lazuli_store::ActionKey;
use lazuli_tree::Tree;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

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
        Ok(Image::read(&file, &self.store)?)
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

    /// Builds an image in these formats, or in those that it names itself.
    pub fn build_image(&self, name: &str, formats: &[Format]) -> Result<Built> {
        let image = self.image_spec(name)?;
        let repo = self.repository(self.all_rpms()?)?;
        let packages = self.solve(&repo, &image)?;
        let tools = self.tool_root("image")?;
        let formats = if formats.is_empty() { image.spec.disk.formats.clone() } else { formats.to_vec() };
        let (root, disk) = {
            let step = self.ui.spinner(&format!("compose {name}"));
            let progress = |line: &str| step.note(line);
            let context = Context {
                store: &self.store,
                tool_root: &tools,
                source_date_epoch: self.epoch(),
                progress: &progress,
            };
            let root = lazuli_image::compose(&context, &packages, &image)?;
            let disk = lazuli_image::build_disk(&context, &root, &image, &formats)?;
            let cached = root.cached && disk.files.iter().all(|f| f.cached);
            if cached {
                step.clear();
            } else {
                step.finish(&format!("{} packages", packages.len()));
            }
            (root, disk)
        };
        Ok(Built { repo, packages, root, disk })
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
