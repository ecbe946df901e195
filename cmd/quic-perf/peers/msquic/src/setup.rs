//! How msquic is set up, on both sides.

use std::ffi::c_void;
use std::mem::{offset_of, size_of, size_of_val};
use std::net::SocketAddr;
use std::path::Path;
use std::ptr;

use harness::{IDLE_TIMEOUT, Result};
use msquic::ffi::{HQUIC, QUIC_BUFFER, QUIC_GLOBAL_EXECUTION_CONFIG, QUIC_SETTINGS};
use msquic::{
    AllowedCipherSuiteFlags, Api, BufferRef, CertificateFile, Configuration, Credential, CredentialConfig, CredentialFlags,
    ExecutionProfile, PARAM_GLOBAL_SETTINGS, Registration, RegistrationConfig, ServerResumptionLevel, Settings, Status,
};

/// What msquic's functions return.
pub type StatusResult<T> = std::result::Result<T, Status>;

/// The IP packets that msquic can be asked to send, and the UDP payloads of them over IPv4, in bytes.
const MIN_MTU: u16 = 1248;
const MAX_MTU: u16 = 1500;
pub const MIN_UDP_PAYLOAD: u16 = MIN_MTU - 20 - 8;
pub const MAX_UDP_PAYLOAD: u16 = MAX_MTU - 20 - 8;

/// What connections are made from. It is never closed.
pub struct Setup {
    pub registration: Registration,
    pub configuration: Configuration,
}

impl Setup {
    /// The set-up for connections from or to addr, with certificates as server_credential or client_credential names them.
    pub fn new(addr: SocketAddr, udp_payload: u16, alpn: &[&str], credential: CredentialConfig) -> Result<Setup> {
        Api::get_ffi(); // loads the library
        confine()?;
        be_patient().map_err(|e| format!("msquic refuses its settings: {e}"))?;
        // One thread for packets and connections: with one for each, as secnetperf has it for bulk, both would share our one core.
        let config = RegistrationConfig::new().set_execution_profile(ExecutionProfile::LowLatency);
        let registration = Registration::new(&config).map_err(|e| format!("msquic does not start: {e}"))?;
        let configuration = configuration(&registration, alpn, &settings(addr, udp_payload))
            .map_err(|e| format!("msquic refuses its settings: {e}"))?;
        configuration
            .load_credential(&credential)
            .map_err(|e| format!("a file of certificates or its key cannot be used: {e}"))?;
        Ok(Setup {
            registration,
            configuration,
        })
    }
}

pub fn server_credential(cert: &Path, key: &Path) -> CredentialConfig {
    let file = CertificateFile::new(key.display().to_string(), cert.display().to_string());
    suites(CredentialConfig::new().set_credential(Credential::CertificateFile(file)))
}

/// The chain is verified; on Linux msquic has no way to verify the name in it.
pub fn client_credential(ca: &Path) -> CredentialConfig {
    suites(CredentialConfig::new_client())
        .set_credential_flags(CredentialFlags::USE_TLS_BUILTIN_CERTIFICATE_VALIDATION)
        .set_ca_certificate_file(ca.display().to_string())
}

/// AES-128-GCM alone, as for everybody who is compared. Groups cannot be named: the client's quictls offers a key for X25519, its
/// first choice, and no other.
fn suites(c: CredentialConfig) -> CredentialConfig {
    c.set_allowed_cipher_suites(AllowedCipherSuiteFlags::AES_128_GCM_SHA256)
}

/// What msquic's own secnetperf sets, but for the window of a stream, which would begin at 64 KiB, and for the size of packets, which
/// would have to be searched for.
fn settings(addr: SocketAddr, udp_payload: u16) -> QUIC_SETTINGS {
    let headers = if addr.is_ipv4() { 20 + 8 } else { 40 + 8 };
    let mtu = udp_payload.saturating_add(headers).clamp(MIN_MTU, MAX_MTU);
    let settings = Settings::new()
        .set_IdleTimeoutMs(IDLE_TIMEOUT.as_millis() as u64)
        .set_StreamRecvWindowDefault(1 << 20)
        .set_ConnFlowControlWindow(128 << 20)
        .set_PeerBidiStreamCount(1000)
        .set_MinimumMtu(mtu)
        .set_MaximumMtu(mtu)
        .set_ServerResumptionLevel(ServerResumptionLevel::NoResume)
        .set_DatagramReceiveEnabled();
    let mut settings = *settings.as_ffi_ref();
    // Without buffering, data is not copied before it is sent. The crate can only turn it on.
    // SAFETY: both fields of the union are the same bits.
    unsafe { settings.__bindgen_anon_1.IsSet.set_SendBufferingEnabled(1) };
    settings.set_SendBufferingEnabled(0);
    settings
}

fn configuration(registration: &Registration, alpn: &[&str], settings: &QUIC_SETTINGS) -> StatusResult<Configuration> {
    let open = Api::get_ffi().ConfigurationOpen.expect("msquic's table is full");
    let (alpn, mut handle) = (buffers(alpn), ptr::null_mut());
    // SAFETY: all that is pointed to outlives the call, and msquic copies it; a BufferRef is a QUIC_BUFFER.
    let status = unsafe {
        open(
            registration.as_raw(),
            alpn.as_ptr().cast::<QUIC_BUFFER>(),
            alpn.len() as u32,
            settings,
            size_of::<QUIC_SETTINGS>() as u32,
            ptr::null_mut(),
            &mut handle,
        )
    };
    Status::ok_from_raw(status)?;
    // SAFETY: the handle is a configuration's, and nobody else has it.
    Ok(unsafe { Configuration::from_raw(handle) })
}

/// Has the server turn nobody away because it has had no time for 250 ms, as on a machine that does other things too.
fn be_patient() -> StatusResult<()> {
    let settings = Settings::new().set_MaxWorkerQueueDelayUs(10_000_000);
    // SAFETY: QUIC_SETTINGS is what the parameter is.
    unsafe { set_param(ptr::null_mut(), PARAM_GLOBAL_SETTINGS, settings.as_ffi_ref()) }
}

pub fn buffers(alpn: &[&str]) -> Vec<BufferRef> {
    alpn.iter().map(|a| BufferRef::from(*a)).collect()
}

/// Sets a parameter of a handle, or of the library if the handle is null.
///
/// # Safety
///
/// The parameter is of type T, and the handle is open.
pub unsafe fn set_param<T>(handle: HQUIC, param: u32, value: &T) -> StatusResult<()> {
    unsafe {
        Api::set_param(
            handle,
            param,
            size_of_val(value) as u32,
            ptr::from_ref(value).cast::<c_void>(),
        )
    }
}

/// Has msquic use the processors that this process may use: by itself it starts a thread for each one that there is, and lets it run
/// on all of them.
fn confine() -> Result<()> {
    const MOST: usize = 256;
    #[repr(C)]
    struct Config {
        flags: u32,
        polling_idle_timeout_us: u32,
        count: u32,
        list: [u16; MOST],
    }
    const _: () = assert!(offset_of!(Config, list) == offset_of!(QUIC_GLOBAL_EXECUTION_CONFIG, ProcessorList));

    // SAFETY: zeroes are a valid set, and sched_getaffinity fills in no more than its size.
    let allowed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of_val(&set), &mut set) != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        set
    };
    // SAFETY: the index is below the number of bits of a set.
    let list: Vec<u16> = (0..MOST)
        .filter(|i| unsafe { libc::CPU_ISSET(*i, &allowed) })
        .map(|i| i as u16)
        .collect();
    // SAFETY: sysconf only reads.
    if list.len() as i64 == unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) } {
        return Ok(());
    }
    let mut config = Config {
        flags: msquic::ffi::QUIC_GLOBAL_EXECUTION_CONFIG_FLAGS_QUIC_GLOBAL_EXECUTION_CONFIG_FLAG_AFFINITIZE,
        polling_idle_timeout_us: 0,
        count: list.len() as u32,
        list: [0; MOST],
    };
    config.list[..list.len()].copy_from_slice(&list);
    // SAFETY: Config is what the parameter is, with a longer list.
    unsafe { set_param(ptr::null_mut(), msquic::ffi::QUIC_PARAM_GLOBAL_EXECUTION_CONFIG, &config) }
        .map_err(|e| format!("msquic refuses the processors {list:?}: {e}"))?;
    Ok(())
}
