//! The ceiling: a server that is tonic and nothing else, and answers every call with the same message.

use std::path::PathBuf;

use clap::Args;
use prost::Message as _;
use proto::segmentation::v1::segmentation_service_server::{SegmentationService, SegmentationServiceServer};
use proto::segmentation::v1::{
    BatchGetCustomersRequest, BatchGetCustomersResponse, CountMembersRequest, CountMembersResponse, GetCustomerRequest,
    GetCustomerResponse, GetSegmentsRequest, GetSegmentsResponse, ListMembersRequest, ListMembersResponse,
};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

#[derive(Debug, Args)]
pub(crate) struct Echo {
    /// The encoded answer.
    answer: PathBuf,
    port: u16,
}

struct Bare(GetCustomerResponse);

#[tonic::async_trait]
impl SegmentationService for Bare {
    async fn get_customer(&self, _: Request<GetCustomerRequest>) -> Result<Response<GetCustomerResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn get_segments(&self, _: Request<GetSegmentsRequest>) -> Result<Response<GetSegmentsResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn batch_get_customers(
        &self,
        _: Request<BatchGetCustomersRequest>,
    ) -> Result<Response<BatchGetCustomersResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn list_members(&self, _: Request<ListMembersRequest>) -> Result<Response<ListMembersResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn count_members(&self, _: Request<CountMembersRequest>) -> Result<Response<CountMembersResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

/// Serves until the process is ended.
pub(crate) fn echo(arguments: &Echo) -> anyhow::Result<()> {
    let answer = GetCustomerResponse::decode(&std::fs::read(&arguments.answer)?[..])?;
    let address = ([127, 0, 0, 1], arguments.port).into();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let service = SegmentationServiceServer::new(Bare(answer));
        Server::builder().tcp_nodelay(true).add_service(service).serve(address).await
    })?;
    Ok(())
}
