//! The installation's certificate authority for agents.
//!
//! The key is sealed in the vault for that purpose; it is opened for the moment of a signature, and wiped. What an
//! applicant's request says of itself counts for nothing but its key: the name, the usages and the life are this module's.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;
use time::{Duration, OffsetDateTime};

use crate::context::Services;
use crate::features::credentials;
use crate::kernel::{Problem, SecretBytes};
use crate::store::{StoreError, SystemPurpose, Unaudited};
use crate::vault::SystemPurpose as Purpose;

/// The authority of agents among the vault's keys of authorities.
const NAME: &str = "agents";
/// A clock that is a little behind must not refuse what was just issued.
const BACKDATED: Duration = Duration::minutes(5);
/// An agent renews after half of it, while it is connected.
const AGENTS_LIFE: Duration = Duration::hours(2);
/// The servers' own.
const OWN_LIFE: Duration = Duration::hours(24);
/// The authority's own.
const AUTHORITYS_LIFE: Duration = Duration::days(3650);

/// The table `authority`.
mod row {
    use sea_orm::entity::prelude::*;

    /// Its only row.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "authority")]
    pub struct Model {
        /// Always 1.
        #[sea_orm(primary_key, auto_increment = false)]
        pub one: i64,
        /// PEM.
        pub certificate: String,
        /// When it was made.
        pub created_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Signs, as long as the vault lets it.
#[derive(Clone)]
pub struct Authority {
    services: Services,
    certificate: String,
}

/// A certificate of the server's own and its key.
pub struct Own {
    /// The certificate.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// The installation's authority; the first server makes it.
    ///
    /// # Errors
    /// When the vault or the database does not answer.
    pub async fn open(services: &Services) -> Result<Self, Problem> {
        if let Some(certificate) = certificate(&services.store).await? {
            return Ok(Self::new(services, certificate));
        }
        let (certificate, key) = make().map_err(Problem::internal)?;
        let tx = services.store.system(SystemPurpose::Housekeeping).await?;
        let inserted = tx
            .insert(row::ActiveModel {
                one: Set(1),
                certificate: Set(certificate.clone()),
                created_at_ms: Set(services.clock.now_ms()),
            })
            .await;
        match inserted {
            Ok(_) => {
                tx.hold_root().await?;
                credentials::insert(services, &tx, Purpose::CertificateAuthority, NAME, key)
                    .await?;
                tx.commit_unaudited(Unaudited::Housekeeping).await?;
                tracing::info!("made the authority of agents' certificates");
                Ok(Self::new(services, certificate))
            }
            // Another server was first.
            Err(StoreError::Duplicate) => {
                drop(tx);
                let theirs = self::certificate(&services.store).await?;
                let theirs = theirs.ok_or_else(|| Problem::internal("no authority"))?;
                Ok(Self::new(services, theirs))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn new(services: &Services, certificate: String) -> Self {
        Self {
            services: services.clone(),
            certificate,
        }
    }

    /// The authority's own certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for the key of `csr` (PKCS #10, PEM), which says `name` and nothing of what the request says.
    ///
    /// # Errors
    /// `bad_request` for a request that cannot be read or whose signature is not its key's.
    pub async fn sign(&self, csr: &str, name: &str) -> Result<String, Problem> {
        let mut request = CertificateSigningRequestParams::from_pem(csr).map_err(|error| {
            let detail = format!("The certificate request cannot be used: {error}.");
            Problem::new(crate::kernel::Code::BadRequest, detail)
        })?;
        request.params = leaf(name, AGENTS_LIFE).map_err(Problem::internal)?;
        let issuer = self.issuer().await?;
        let signed = request.signed_by(&issuer).map_err(Problem::internal)?;
        Ok(signed.pem())
    }

    /// A certificate for this server, with a new key.
    ///
    /// # Errors
    /// When the vault or the database does not answer.
    pub async fn own(&self, name: &str) -> Result<Own, Problem> {
        let key = KeyPair::generate().map_err(Problem::internal)?;
        let params = leaf(name, OWN_LIFE).map_err(Problem::internal)?;
        let issuer = self.issuer().await?;
        let signed = params.signed_by(&key, &issuer).map_err(Problem::internal)?;
        Ok(Own {
            chain: vec![signed.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    /// The key, for one signature.
    async fn issuer(&self) -> Result<Issuer<'static, KeyPair>, Problem> {
        let services = &self.services;
        let purpose = Purpose::CertificateAuthority;
        let sealed = credentials::find(services, purpose, NAME).await?;
        let sealed = sealed.ok_or_else(|| Problem::internal("the authority's key is not there"))?;
        let key = services.vault.open(purpose, NAME, &sealed).await?;
        let der = PrivatePkcs8KeyDer::from(key.expose().as_slice());
        let key = KeyPair::try_from(&der).map_err(Problem::internal)?;
        Issuer::from_ca_cert_pem(&self.certificate, key).map_err(Problem::internal)
    }
}

/// The certificate of the authority of agents, once a server has made it.
///
/// # Errors
/// [`StoreError`]
pub async fn certificate(store: &crate::store::Store) -> Result<Option<String>, StoreError> {
    let tx = store.system(SystemPurpose::Credentials).await?;
    let found = tx.one(row::Entity::find_by_id(1_i64)).await?;
    Ok(found.map(|row| row.certificate))
}

fn make() -> Result<(String, SecretBytes), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "OptiDev agents");
    params.distinguished_name = name;
    // It signs leaves and no other authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    limit(&mut params, AUTHORITYS_LIFE);
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), SecretBytes::new(key.serialize_der())))
}

fn leaf(name: &str, life: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::NoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    limit(&mut params, life);
    Ok(params)
}

fn limit(params: &mut CertificateParams, life: Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATED;
    params.not_after = now + life;
}

/// The certificates of a PEM text.
pub fn roots(pem: &str) -> Result<rustls::RootCertStore, Problem> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(Problem::internal)?;
        roots.add(certificate).map_err(Problem::internal)?;
    }
    Ok(roots)
}
